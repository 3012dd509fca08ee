//! Following a folder.
