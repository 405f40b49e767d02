/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks.
 *
 * With a token: "Authorization: Bearer", compared as SHA-256 digests in constant time, or the
 * page's cookie. The cookie is "<expiry>-<HMAC-SHA256 of it>" under a key that is random for each
 * process: nothing is stored, and a restart ends every session. It opens reads and the page's own
 * forms, which carry a second HMAC of the session; changes through /api/v1 take the token only.
 * Guessing at the login form is slowed: ten failures from one address, and that address waits for
 * the rest of the minute. Bearer tokens are not: a scraper with an old token must not lock out the
 * person behind the same proxy, and 256 random bits cannot be guessed.
 *
 * Without a token the server listens on loopback only, and two attacks from a browser on the same
 * machine remain: DNS rebinding (a foreign name that resolves to 127.0.0.1; the Host header must
 * therefore be a loopback name or the listen address) and cross-site forms (Origin, where one is
 * sent, must equal Host).
 */
#include "watchdog/api_http.h"

#include <errno.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/clock.h"

#define COOKIE "incidentd_session"

enum { LOGIN_WINDOW_MS = 60000 };

static void digest(const char *text, unsigned char out[API_DIGEST_BYTES])
{
    unsigned len = API_DIGEST_BYTES;
    memset(out, 0, API_DIGEST_BYTES);
    (void)EVP_Digest(text, strlen(text), out, &len, EVP_sha256(), NULL);
}

int api_auth_init(struct api_auth *auth, const char *token, const char *host, struct error *err)
{
    (void)snprintf(auth->host, sizeof(auth->host), "%s", host);
    if (RAND_bytes(auth->key, sizeof(auth->key)) != 1) {
        return error_set(err, -EIO, "no random bytes for the session key");
    }
    auth->required = token != NULL;
    if (token != NULL) {
        digest(token, auth->token);
    }
    return 0;
}

bool api_auth_token_ok(const struct api_auth *auth, const char *token)
{
    unsigned char given[API_DIGEST_BYTES];
    digest(token, given);
    return auth->required && CRYPTO_memcmp(given, auth->token, sizeof(given)) == 0;
}

static void sign(const struct api_auth *auth, const char *what, const char *text,
                 char out[API_HEX_SIZE])
{
    char message[192];
    unsigned char mac[API_DIGEST_BYTES] = {0};
    unsigned len = sizeof(mac);
    int n = snprintf(message, sizeof(message), "%s:%.128s", what, text);
    (void)HMAC(EVP_sha256(), auth->key, (int)sizeof(auth->key), (const unsigned char *)message,
               (size_t)n, mac, &len);
    for (size_t i = 0; i < sizeof(mac); i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", mac[i]);
    }
}

static bool same(const char *a, const char *b)
{
    size_t len = strlen(a);
    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

void api_auth_session(const struct api_auth *auth, char *out, size_t size)
{
    char expiry[24];
    char mac[API_HEX_SIZE];
    (void)snprintf(expiry, sizeof(expiry), "%lld",
                   (long long)clock_mono_ms() / 1000 + API_SESSION_S);
    sign(auth, "session", expiry, mac);
    (void)snprintf(out, size, "%s-%s", expiry, mac);
}

static bool session_ok(const struct api_auth *auth, const char *value)
{
    char expiry[24];
    char mac[API_HEX_SIZE];
    const char *dash = strchr(value, '-');
    if (dash == NULL || (size_t)(dash - value) >= sizeof(expiry)) {
        return false;
    }
    (void)snprintf(expiry, sizeof(expiry), "%.*s", (int)(dash - value), value);
    sign(auth, "session", expiry, mac);
    return same(mac, dash + 1) && strtoll(expiry, NULL, 10) > clock_mono_ms() / 1000;
}

void api_auth_form(const struct api_auth *auth, const char *session, char out[API_HEX_SIZE])
{
    sign(auth, "form", session, out);
}

bool api_auth_form_ok(const struct api_request *r, const char *given)
{
    char wanted[API_HEX_SIZE];
    api_auth_form(&r->api->auth, r->session, wanted);
    return given != NULL && same(given, wanted);
}

/* The host of "host", "host:port" or "[host]:port" without brackets. */
static void bare_host(const char *text, char *out, size_t size)
{
    const char *end = NULL;
    if (text[0] == '[') {
        text++;
        end = strchr(text, ']');
    } else {
        end = strchr(text, ':');
        end = end != NULL && strchr(end + 1, ':') != NULL ? NULL : end;
    }
    size_t len = end == NULL ? strlen(text) : (size_t)(end - text);
    (void)snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), text);
}

/* Four numbers and nothing else: "127.evil.example" is no address. */
static bool is_127(const char *host)
{
    unsigned dots = 0;
    if (strncmp(host, "127.", 4) != 0) {
        return false;
    }
    for (const char *p = host; *p != '\0'; p++) {
        dots += *p == '.' ? 1 : 0;
        if (*p != '.' && (*p < '0' || *p > '9')) {
            return false;
        }
    }
    return dots == 3;
}

bool api_auth_loopback(const char *host)
{
    char bare[256];
    bare_host(host, bare, sizeof(bare));
    return strcasecmp(bare, "localhost") == 0 || strcmp(bare, "::1") == 0 || is_127(bare);
}

static bool host_ok(const struct api_auth *auth, const char *host)
{
    char bare[256];
    if (host == NULL || api_auth_loopback(host)) {
        return true;
    }
    bare_host(host, bare, sizeof(bare));
    return strcasecmp(bare, auth->host) == 0;
}

static bool origin_ok(const struct api_request *r)
{
    const char *site = api_request_header(r, "Sec-Fetch-Site");
    if (site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0) {
        return false;
    }
    const char *origin = api_request_header(r, "Origin");
    const char *host = api_request_header(r, "Host");
    if (origin == NULL) {
        return true;
    }
    const char *authority = strstr(origin, "://");
    return authority != NULL && host != NULL && strcasecmp(authority + 3, host) == 0;
}

static enum api_identity identify(struct api_request *r)
{
    const struct api_auth *auth = &r->api->auth;
    const char *given = api_request_header(r, "Authorization");
    if (given != NULL && strncasecmp(given, "Bearer ", 7) == 0 &&
        api_auth_token_ok(auth, given + 7)) {
        return API_BEARER;
    }
    const char *cookie = MHD_lookup_connection_value(r->connection, MHD_COOKIE_KIND, COOKIE);
    if (cookie != NULL && session_ok(auth, cookie)) {
        (void)snprintf(r->session, sizeof(r->session), "%s", cookie);
        return API_COOKIE;
    }
    return API_NOBODY;
}

unsigned api_auth_check(struct api_request *r, const char **why)
{
    bool reads = r->method == API_GET || r->method == API_HEAD;
    if (!reads && !origin_ok(r)) {
        *why = "the request comes from another site's page";
        return MHD_HTTP_FORBIDDEN;
    }
    if (!r->api->auth.required) {
        r->identity = API_OPEN;
        if (!host_ok(&r->api->auth, api_request_header(r, "Host"))) {
            *why = "without a token only requests to a loopback host name are answered";
            return MHD_HTTP_MISDIRECTED_REQUEST;
        }
        return 0;
    }
    r->identity = identify(r);
    if (r->identity == API_NOBODY) {
        *why = api_request_header(r, "Authorization") != NULL
                   ? "the token is not this server's"
                   : "a token is needed: Authorization: Bearer TOKEN";
        return MHD_HTTP_UNAUTHORIZED;
    }
    if (r->identity == API_COOKIE && !reads && strncmp(r->url, "/forms/", 7) != 0) {
        *why = "changes through the API need the token; a browser's session reads";
        return MHD_HTTP_FORBIDDEN;
    }
    return 0;
}

static void address_of(const struct api_request *r, unsigned char out[16])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    memset(out, 0, 16);
    if (info != NULL && info->client_addr->sa_family == AF_INET) {
        memcpy(out, &((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr, 4);
    } else if (info != NULL && info->client_addr->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr, 16);
    }
}

/* The client's entry, or the one to use for it: a free, an expired or the oldest one. */
static struct api_login *login_of(struct api_request *r)
{
    unsigned char address[16];
    struct api_login *oldest = &r->api->logins[0];
    int64_t now_ms = clock_mono_ms();
    address_of(r, address);
    for (size_t i = 0; i < API_LOGIN_ADDRESSES; i++) {
        struct api_login *l = &r->api->logins[i];
        if (l->since_ms > 0 && now_ms - l->since_ms >= LOGIN_WINDOW_MS) {
            *l = (struct api_login){.since_ms = 0};
        }
        if (l->since_ms > 0 && memcmp(l->address, address, sizeof(address)) == 0) {
            return l;
        }
        oldest = l->since_ms < oldest->since_ms ? l : oldest;
    }
    *oldest = (struct api_login){.since_ms = now_ms};
    memcpy(oldest->address, address, sizeof(address));
    return oldest;
}

unsigned api_auth_login_wait_s(struct api_request *r)
{
    const struct api_login *l = login_of(r);
    int64_t left_ms = l->since_ms + LOGIN_WINDOW_MS - clock_mono_ms();
    return l->failed < API_LOGINS_FAILED ? 0 : (unsigned)(left_ms / 1000 + 1);
}

void api_auth_login_failed(struct api_request *r)
{
    login_of(r)->failed++;
}
