/** Debian's pgbouncer in front of a database. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort } from '../../../embedded/ports.js'
import { need, postgresFolder, serve, writeForPostgres } from './debian.js'
import { until } from './until.js'

export interface PgbouncerOptions {
  mode: 'session' | 'transaction'
  /** Connections to the server. */
  pool: number
  /** Connections of clients; one that is too many is turned away. Default: hundreds. */
  clients?: number
}

/** Starts a pooler that lets anybody in as the user of a URL; answers the URL by way of it. */
export async function startPgbouncer(
  url: string,
  { mode, pool, clients = 500 }: PgbouncerOptions,
): Promise<string> {
  const program = await need('/usr/sbin/pgbouncer', 'pgbouncer')
  const { port: server, pathname, username, password } = new URL(url)
  const port = await freePort()
  const file = join(await postgresFolder(), 'pgbouncer.ini')
  await writeForPostgres(
    file,
    `[databases]
work = host=127.0.0.1 port=${server} dbname=${pathname.slice(1)} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${pool}
max_client_conn = ${clients}
ignore_startup_parameters = extra_float_digits
`,
  )
  await serve(program, [file])
  await until('the pooler takes connections', async () => {
    const socket = connect(port, '127.0.0.1')
    const answers = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    return answers
  })
  return `postgres://${username}:x@127.0.0.1:${port}/work`
}
