"""Assembly: a configuration becomes the plain parts that decide, and the edges around them."""
