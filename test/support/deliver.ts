/** Delivers the notices that are due through webhook HOOK, as a heartbeat does: `deliver.ts <database> <webhook>`. */
import { deliverNotices } from '../../api/monitors/notices.js'
import { anyAddress } from '../../channels/index.js'
import { connectEngine } from '../../engine/index.js'

const [databaseUrl = '', HOOK] = process.argv.slice(2)
const engine = connectEngine({ databaseUrl, maxConnections: 1 })
console.log('ready')
await deliverNotices(engine, { variables: { HOOK }, guard: anyAddress })
await engine.close()
