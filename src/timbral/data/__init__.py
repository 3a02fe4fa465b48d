"""Corpora and lists of utterances, prepared data, batches and augmentation."""
