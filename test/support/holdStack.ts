/** A program that starts database and PostgREST in a data folder, says so, and waits to be killed. */
import { startPostgres } from '../../embedded/postgres.js'
import { startPostgrest } from '../../embedded/postgrest.js'

const [dataDir = ''] = process.argv.slice(2)
const database = await startPostgres({ dataDir, fast: true })
await startPostgrest({ dataDir, databaseUrl: database.authenticatorUrl(), jwtSecret: 'x'.repeat(32) })
console.log(database.url())
setInterval(() => undefined, 1000)
