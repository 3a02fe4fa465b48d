from timbral.cli import main

main()
