import { type Engine, OpsError } from '../../engine/index.js'
import { broken, check, type Finding, ok, type Verdict, warning } from './finding.js'

const CHANNEL = 'ops_doctor'
/** Clocks that differ by less are a matter of the network. */
const CLOCK_WARNING_S = 5
const CLOCK_BROKEN_S = 60

/** How the database is reached, and whether notifications come through. */
export async function checkConnection(engine: Engine): Promise<Finding[]> {
  return check('connection', await mode(engine))
}

async function mode({ transport, listen }: Engine): Promise<Verdict> {
  if (transport === 'supabase') return ok('through PostgREST; workers look for work every second')
  if (listen === undefined) {
    return ok('through a transaction pooler, without prepared statements; workers look for work every second')
  }
  try {
    const subscription = await listen(
      [CHANNEL],
      () => {},
      () => {},
    )
    await subscription.stop()
    return ok('direct, or through a session pooler: notifications come through')
  } catch (error) {
    return broken(
      `notifications do not come through: ${error instanceof OpsError ? error.message : String(error)}`,
      'Behind a transaction pooler add ?pgbouncer=true to DATABASE_URL; otherwise prepared statements fail as well.',
    )
  }
}

/** The database's time against ours, which webhooks' signatures and tokens are checked by. */
export function checkClock(database: string, before: number, after: number): Finding[] {
  const theirs = Date.parse(database)
  // It was somewhere between the question and the answer.
  const seconds = Math.round(Math.max(theirs - after, before - theirs, 0) / 1000)
  if (seconds < CLOCK_WARNING_S) return check('clock', ok('this machine and the database agree'))
  const verdict = seconds < CLOCK_BROKEN_S ? warning : broken
  return check(
    'clock',
    verdict(
      `this machine and the database differ by ${seconds} s`,
      'Set the clock by NTP: tokens and signatures expire by it.',
    ),
  )
}
