from timbral.cli.main import main

main()
