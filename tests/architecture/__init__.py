"""What the code promises about itself: words, layers, completeness, and the files that run it elsewhere."""
