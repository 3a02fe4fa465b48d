"""Tables of embeddings: formats, speaker means, clusters, audit."""
