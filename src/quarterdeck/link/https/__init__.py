"""The wire for networks that let only HTTP through: POST and long polls over mutual TLS, standard library only."""
