"""ReDimNet and ReDimNet2, as their authors publish them."""
