"""The server's end of the link: who is connected, what each is told, and how services reach them."""
