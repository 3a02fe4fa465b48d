"""Lists of utterances in the formats of other tools."""
