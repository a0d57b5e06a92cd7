import { type Engine, OpsError } from '../../engine/index.js'
import packageJson from '../../package.json' with { type: 'json' }
import { SCHEMA_VERSION } from '../../worker/presence.js'
import { checkClock, checkConnection } from './connection.js'
import { broken, check, type Finding } from './finding.js'
import { checkRights, checkRoom, checkSchema } from './installation.js'
import { checkHeartbeat, checkHold, checkPauses, checkWorkers } from './loop.js'
import { checkPolicies } from './policies.js'

/** All that can be said about a database. What cannot be asked is a finding, not an error. */
export async function examine(engine: Engine): Promise<Finding[]> {
  try {
    const health = await engine.health()
    const schema = checkSchema(health, SCHEMA_VERSION)
    if (schema.some(({ status }) => status === 'broken')) return schema
    const before = Date.now()
    const installation = await engine.doctor()
    const clock = checkClock(installation.now, before, Date.now())
    const [overview, policies, hold] = await Promise.all([
      engine.overview(),
      engine.policies(),
      engine.hold(),
    ])
    return [
      ...(await checkConnection(engine)),
      ...schema,
      ...checkRights(installation),
      ...checkRoom(installation),
      ...clock,
      ...checkPolicies(policies),
      ...checkHold(hold),
      ...checkPauses(health),
      ...checkHeartbeat(installation),
      ...checkWorkers(overview, packageJson.version),
    ]
  } catch (error) {
    return check('connection', unreachable(error))
  }
}

function unreachable(error: unknown) {
  if (!(error instanceof OpsError)) throw error
  const forbidden = 'Ask with the login of an operator (a member of ops_operator), or the service key.'
  const hint = error.hint ?? (error.code === 'OPS_012' ? forbidden : 'Correct that, and ask again.')
  return broken(error.message, hint)
}
