"""TLS of the services: certificates, read again when their files change, and the channels and ports that use them."""
