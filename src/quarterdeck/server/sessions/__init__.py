"""The server's end of the link: the connected agents, what each is sent, and how services reach them."""
