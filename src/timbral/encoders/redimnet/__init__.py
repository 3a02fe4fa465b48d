"""ReDimNet and ReDimNet2, as published by their authors."""
