"""Photos of real people: folders with labels, clips, groups, backgrounds."""
