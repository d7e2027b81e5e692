"""Records and blobs of services: kept on disk, by table, with revisions."""
