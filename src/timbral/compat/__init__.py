"""Compatibility with configs and command lines of ddvc and PaddleSpeech."""
