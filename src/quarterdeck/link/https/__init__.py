"""The wire for networks that allow only HTTP: POST and long polls over mutual TLS, standard library only."""
