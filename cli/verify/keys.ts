import { decodeJwt } from 'jose'
import { check, type Finding, ok, type Verdict, warning } from '../doctor/finding.js'

const DAY_S = 86_400
const SOON_S = 30 * DAY_S

/** Keys that may be tokens with an end of their own. */
const TOKENS = ['SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_ROLE_KEY', 'OPS_API_KEY']

/** Keys that end soon, and changes of keys that nobody has finished. Says no more of a key than its name. */
export function checkKeys(env: Readonly<Record<string, string | undefined>>, now = Date.now()): Finding[] {
  const verdicts: Verdict[] = []
  for (const name of TOKENS) {
    const end = endOf(env[name])
    if (end === undefined) continue
    const left = end - now / 1000
    if (left > SOON_S) continue
    verdicts.push(
      left <= 0
        ? { status: 'broken', message: `${name} has expired`, hint: 'Make a new one.' }
        : warning(`${name} expires in ${Math.ceil(left / DAY_S)} days`, 'Make a new one before.'),
    )
  }
  for (const [name, value] of Object.entries(env)) {
    if (value && /^(OPS|GITHUB|STRIPE|CRON)_.*_PREVIOUS$/.test(name))
      verdicts.push(
        warning(
          `${name} still opens what its successor opens`,
          'Remove it when all callers have the new one.',
        ),
      )
  }
  return verdicts.length > 0 ? check('keys', ...verdicts) : check('keys', ok('none ends soon'))
}

/** When a key that is a JWT ends, in seconds since 1970. */
function endOf(key: string | undefined): number | undefined {
  if (!key) return undefined
  try {
    return decodeJwt(key).exp
  } catch {
    return undefined
  }
}
