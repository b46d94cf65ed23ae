/* acl.h -- a Redis user for the agent and one for every engine, each with the least rights.
 *
 * Who may publish on a bus is a table: only market data engines on MarketData, everybody on
 * Engine Logic, everybody but market data engines on Neural-GPU. Everybody may subscribe. The
 * default user is off, so who has no password gets nothing.
 *
 * Memory   Passwords are kept in <folder>/redis.users, mode 0600, one "user password" a line;
 *          made once (192 random bits each), so that they stay the same when servers or agent
 *          are started again. Give each engine its own line only.
 */
#ifndef TRIBUS_AGENT_ACL_H
#define TRIBUS_AGENT_ACL_H

#include "tribus/wire.h"

#include <stddef.h>

#define TRIBUS_ACL_AGENT          "tribus-agent"
#define TRIBUS_ACL_PASSWORD_BYTES 49u /* with the final zero */

/* Read the passwords of a folder, or make them. *password: the agent's own.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (the file is there and is not ours, or lacks a user) or
 * TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status
tribus_acl_prepare(const char *folder, char password[TRIBUS_ACL_PASSWORD_BYTES]);

/* Write the file for --aclfile of one bus's server, <folder>/<name>.acl, mode 0600; path gets
 * its name. After tribus_acl_prepare(). Returns as that. */
TRIBUS_MUST_CHECK tribus_status tribus_acl_write(const char *folder, const char *name,
                                                 tribus_bus_id bus, char *path,
                                                 size_t bytes);

/* The same where everybody is the default user and one password is all there is.
 * Returns TRIBUS_OK, TRIBUS_BAD_ARG (a password that a rule cannot hold) or TRIBUS_SYSTEM. */
TRIBUS_MUST_CHECK tribus_status tribus_acl_write_password(const char *folder,
                                                          const char *name,
                                                          const char *password, char *path,
                                                          size_t bytes);

#endif
