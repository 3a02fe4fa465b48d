"""From a corpus to embeddings, resumably and in parallel."""
