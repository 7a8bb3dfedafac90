"""The texture: islands that go on a little, and what lies between them."""
