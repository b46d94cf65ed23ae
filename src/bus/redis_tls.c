/* redis_tls.c -- see redis_tls.h. OpenSSL, with a transport of our own below it: its own
 * writes to the socket without MSG_NOSIGNAL, and signals are the process's business. */
#include "bus/redis_tls.h"

#include "base/clock.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tribus_redis_tls {
    int fd;
    int fault; /* errno of the last call to the socket that failed; 0: it was closed */
    bool wants_write;
    BIO_METHOD *method;
    SSL_CTX *context;
    SSL *ssl;
};

/* ---- transport ---- */

static int send_bytes(BIO *bio, const char *bytes, int n)
{
    tribus_redis_tls *t = BIO_get_data(bio);
    ssize_t sent;

    BIO_clear_retry_flags(bio);
    do
        sent = send(t->fd, bytes, (size_t)n, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_write(bio);
    else if (sent < 0)
        t->fault = errno;
    return (int)sent;
}

static int receive_bytes(BIO *bio, char *bytes, int n)
{
    tribus_redis_tls *t = BIO_get_data(bio);
    ssize_t got;

    BIO_clear_retry_flags(bio);
    do
        got = recv(t->fd, bytes, (size_t)n, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_read(bio);
    else if (got < 0)
        t->fault = errno;
    return (int)got;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0; /* we keep nothing back */
}

static BIO *make_transport(tribus_redis_tls *t)
{
    BIO *bio;

    t->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tribus");
    if (t->method == NULL || BIO_meth_set_write(t->method, send_bytes) != 1 ||
        BIO_meth_set_read(t->method, receive_bytes) != 1 ||
        BIO_meth_set_ctrl(t->method, control) != 1)
        return NULL;
    bio = BIO_new(t->method);
    if (bio != NULL) {
        BIO_set_data(bio, t);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- files ---- */

static bool is_text(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* What OpenSSL says of a file is about its own functions; most often it is not there. */
static tribus_status bad_file(const char *setting, const char *path, const char *what)
{
    const int fault = access(path, R_OK) != 0 ? errno : 0;

    ERR_clear_error();
    return tribus_error_set(TRIBUS_BAD_ARG, "%s: %s: %s", setting, path,
                            fault != 0 ? strerror(fault) : what);
}

tribus_status tribus_redis_tls_copy_cfg(const tribus_tls_cfg *from,
                                        tribus_redis_tls_copy *to)
{
    const char **const texts[] = {&to->cfg.ca_file, &to->cfg.cert_file, &to->cfg.key_file,
                                  &to->cfg.name};

    to->cfg = from != NULL ? *from : (tribus_tls_cfg){.on = 0};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const int n = snprintf(to->texts[i], sizeof(to->texts[i]), "%s",
                               *texts[i] != NULL ? *texts[i] : "");

        if (n < 0 || (size_t)n >= sizeof(to->texts[i]))
            return tribus_error_set(TRIBUS_BAD_ARG, "TLS: over %zu characters: %s",
                                    sizeof(to->texts[i]) - 1, *texts[i]);
        *texts[i] = to->texts[i];
    }
    return TRIBUS_OK;
}

static tribus_status load_files(SSL_CTX *context, const tribus_tls_cfg *cfg)
{
    if (!is_text(cfg->ca_file)) {
        if (SSL_CTX_set_default_verify_paths(context) != 1)
            return tribus_error_set(TRIBUS_BAD_ARG,
                                    "redis.tls_ca: needed: the system has none");
    } else if (SSL_CTX_load_verify_locations(context, cfg->ca_file, NULL) != 1) {
        return bad_file("redis.tls_ca", cfg->ca_file, "holds no certificate (PEM)");
    }
    if (!is_text(cfg->cert_file) && !is_text(cfg->key_file))
        return TRIBUS_OK;
    if (!is_text(cfg->cert_file) || !is_text(cfg->key_file))
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "redis.tls_cert and redis.tls_key: both are needed");
    if (SSL_CTX_use_certificate_chain_file(context, cfg->cert_file) != 1)
        return bad_file("redis.tls_cert", cfg->cert_file, "holds no certificate (PEM)");
    if (SSL_CTX_use_PrivateKey_file(context, cfg->key_file, SSL_FILETYPE_PEM) != 1)
        return bad_file("redis.tls_key", cfg->key_file,
                        "holds no private key (PEM) of the certificate in redis.tls_cert");
    return TRIBUS_OK;
}

/* ---- handshake ---- */

static tribus_status expect_name(SSL *ssl, const tribus_tls_cfg *cfg, const char *host)
{
    const char *name = is_text(cfg->name) ? cfg->name : host;
    unsigned char address[16];
    const bool numeric =
        inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
    int good = 1;

    if (name[0] == '/' && !cfg->any_name)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "redis.tls_name: needed for the Unix socket %s", name);
    if (name[0] != '/' && !numeric)
        good = (int)SSL_set_tlsext_host_name(ssl, name);
    if (good == 1 && !cfg->any_name)
        good = numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name)
                       : SSL_set1_host(ssl, name);
    return good == 1 ? TRIBUS_OK
                     : tribus_error_set(TRIBUS_BAD_ARG, "%s: not a name for TLS", name);
}

/* What is wrong with the server's certificate, and what to do. */
static tribus_status bad_certificate(long verdict)
{
    const char *advice;

    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        advice = "renew it there, or set the clock here";
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        advice = "set redis.tls_name to the name that it is for";
        break;
    default:
        advice = "set redis.tls_ca to the file of who signed it";
        break;
    }
    return tribus_error_set(TRIBUS_REFUSED, "TLS: the server's certificate: %s; %s",
                            X509_verify_cert_error_string(verdict), advice);
}

/* Why a call of OpenSSL failed, for good. */
static tribus_status fail(tribus_redis_tls *t, int kind)
{
    const unsigned long code = ERR_peek_error();
    const int reason = ERR_GET_REASON(code);
    const long verdict = SSL_get_verify_result(t->ssl);
    const char *text = ERR_reason_error_string(code);

    ERR_clear_error();
    if (!SSL_is_init_finished(t->ssl) && verdict != X509_V_OK)
        return bad_certificate(verdict);
    if (kind == SSL_ERROR_ZERO_RETURN || code == 0 ||
        reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return tribus_error_set(TRIBUS_PEER_LOST, "TLS: %s",
                                t->fault != 0 ? strerror(t->fault)
                                              : "closed the connection");
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
        return tribus_error_set(TRIBUS_BAD_DATA, "TLS: the server speaks plain: give it "
                                                 "tls-port, or set redis.tls: false");
    if (reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED ||
        reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE)
        return tribus_error_set(
            TRIBUS_REFUSED, "TLS: the server asks for a certificate: set redis.tls_cert "
                            "and redis.tls_key");
    if (reason > SSL_AD_REASON_OFFSET)
        return tribus_error_set(
            TRIBUS_REFUSED,
            "TLS: the server refuses us: %s: is redis.tls_cert one that "
            "it trusts?",
            text != NULL ? text : "no reason");
    return tribus_error_set(TRIBUS_BAD_DATA, "TLS: %s",
                            text != NULL ? text : "not understood");
}

static tribus_status wait_for(int fd, short events, int64_t deadline_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    const int64_t left = tribus_deadline_left_ns(deadline_ns);
    const struct timespec ts = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    const int n = ppoll(&p, 1, &ts, NULL);

    if (n < 0 && errno != EINTR)
        return tribus_error_set(TRIBUS_SYSTEM, "poll");
    return n != 0 ? TRIBUS_OK
                  : tribus_error_set(TRIBUS_TIMEOUT,
                                     "TLS: no answer, as from a plain server: give it "
                                     "tls-port, or set redis.tls: false");
}

static tribus_status shake_hands(tribus_redis_tls *t, int64_t deadline_ns)
{
    for (;;) {
        const int done = SSL_connect(t->ssl);
        const int kind = done == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, done);
        tribus_status st;

        if (kind == SSL_ERROR_NONE)
            return TRIBUS_OK;
        if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
            return fail(t, kind);
        st = wait_for(t->fd, kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ns);
        if (st != TRIBUS_OK)
            return st;
    }
}

tribus_status tribus_redis_tls_open(const tribus_tls_cfg *cfg, int fd, const char *host,
                                    int64_t deadline_ns, tribus_redis_tls **out)
{
    tribus_redis_tls *t = calloc(1, sizeof(*t));
    tribus_status st = TRIBUS_NO_MEMORY;
    BIO *bio;

    if (t == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "TLS");
    ERR_clear_error();
    t->fd = fd;
    t->context = SSL_CTX_new(TLS_client_method());
    if (t->context == NULL ||
        SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION) != 1)
        goto fail;
    SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_options(t->context, SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(t->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                           SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    st = load_files(t->context, cfg);
    if (st != TRIBUS_OK)
        goto fail;
    st = TRIBUS_NO_MEMORY;
    t->ssl = SSL_new(t->context);
    bio = t->ssl != NULL ? make_transport(t) : NULL;
    if (bio == NULL)
        goto fail;
    SSL_set_bio(t->ssl, bio, bio); /* taken */
    st = expect_name(t->ssl, cfg, host);
    if (st == TRIBUS_OK)
        st = shake_hands(t, deadline_ns);
    if (st != TRIBUS_OK)
        goto fail;
    *out = t;
    return TRIBUS_OK;

fail:
    if (st == TRIBUS_NO_MEMORY)
        (void)tribus_error_set(TRIBUS_NO_MEMORY, "TLS");
    ERR_clear_error();
    tribus_redis_tls_close(t);
    return st;
}

void tribus_redis_tls_close(tribus_redis_tls *t)
{
    if (t == NULL)
        return;
    if (t->ssl != NULL && SSL_is_init_finished(t->ssl) && t->fault == 0)
        (void)SSL_shutdown(t->ssl); /* say goodbye; the answer is not awaited */
    ERR_clear_error();
    SSL_free(t->ssl);
    SSL_CTX_free(t->context);
    BIO_meth_free(t->method);
    free(t);
}

/* ---- read and write ---- */

tribus_status tribus_redis_tls_read(tribus_redis_tls *t, void *buf, size_t bytes,
                                    size_t *done)
{
    const int n = SSL_read(t->ssl, buf, bytes > INT_MAX ? INT_MAX : (int)bytes);
    const int kind = n > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, n);

    t->wants_write = kind == SSL_ERROR_WANT_WRITE;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        return TRIBUS_EMPTY;
    if (kind != SSL_ERROR_NONE)
        return fail(t, kind);
    *done = (size_t)n;
    return TRIBUS_OK;
}

tribus_status tribus_redis_tls_write(tribus_redis_tls *t, const void *buf, size_t bytes,
                                     size_t *done)
{
    const int n = SSL_write(t->ssl, buf, bytes > INT_MAX ? INT_MAX : (int)bytes);
    const int kind = n > 0 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, n);

    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        return TRIBUS_FULL;
    if (kind != SSL_ERROR_NONE)
        return fail(t, kind);
    *done = (size_t)n;
    return TRIBUS_OK;
}

bool tribus_redis_tls_wants_write(const tribus_redis_tls *t)
{
    return t->wants_write;
}
