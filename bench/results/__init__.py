"""Result records: fields, identity, which may share a table; tables and pictures of one run."""
