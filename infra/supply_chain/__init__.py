"""What the project is made of: its licences, its bill of materials, its known vulnerabilities."""
