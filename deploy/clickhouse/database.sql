-- The database of everything here; made at start where the user may.
CREATE DATABASE IF NOT EXISTS {name:Identifier}
