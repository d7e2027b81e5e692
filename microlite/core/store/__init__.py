"""The built-in service `store`: records and blobs of a namespace."""
