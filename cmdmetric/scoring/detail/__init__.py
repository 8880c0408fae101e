"""What a score tells of single images and of slices of them."""
