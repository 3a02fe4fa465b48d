"""Configs and command lines of ddvc and PaddleSpeech, read as they are."""
