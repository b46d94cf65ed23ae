/* tls.h -- how to speak TLS with the Redis servers of the buses.
 *
 * Use it to   say whose certificates are trusted, who we are, and whom we mean to talk to.
 * Not for     anything inside a host: the fabric is memory.
 *
 * Memory      Plain settings; the texts belong to whoever filled them in.
 * Trust       A server must show a certificate that the CA file vouches for, in its time, and
 *             for the name we asked for. TLS 1.2 is the least.
 * Cost        A handshake each time a connection is made; the files are read then, so that
 *             renewed ones are used from the next connection on.
 */
#ifndef TRIBUS_TLS_H
#define TRIBUS_TLS_H

/* Files are PEM. NULL and "" are the same. */
typedef struct tribus_tls_cfg {
    int on;                /* zero: plain, whatever else is set */
    const char *ca_file;   /* whose certificates we trust; NULL: those the system trusts */
    const char *cert_file; /* ours, for servers that ask who we are; NULL: none */
    const char *key_file;  /* its private key, without a passphrase */
    const char *name;      /* the server's certificate is for it; NULL: the host we call */
    int any_name;          /* nonzero: whomever it is for */
} tribus_tls_cfg;

#endif
