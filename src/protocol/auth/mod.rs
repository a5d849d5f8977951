//! NTLM and SPNEGO: sspi as a client, an acceptor of our own for the servers of the lab.
