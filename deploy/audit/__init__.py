"""What comes from others: advisories on the locked packages, their licences, and a bill of materials for each image."""
