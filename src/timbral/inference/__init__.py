"""From audio to embeddings."""
