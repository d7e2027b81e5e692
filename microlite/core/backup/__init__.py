"""The built-in service `backup`: copies of everything that the platform keeps."""
