"""Tables of embeddings: their formats, speaker means, audit."""
