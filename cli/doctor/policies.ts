import type { PolicyRow } from '../../engine/index.js'
import { compileMatrix, isPolicyKey, parsePolicy, policyKeys } from '../../policies/index.js'
import { broken, check, type Finding, listed, ok, type Verdict, warning } from './finding.js'

const OPTIONAL_EFFECT: Partial<Record<string, string>> = {
  reaction_matrix: 'no event is answered',
  auto_approve: 'everything waits for a person',
}

/** Whether policies say something that the program understands. */
export function checkPolicies(rows: readonly PolicyRow[]): Finding[] {
  const troubles = [...rows.flatMap(({ key, value }) => troublesOf(key, value)), ...missing(rows)]
  const found = check('policies', ...troubles)
  return found.length > 0 ? found : check('policies', ok(`${rows.length} policies, all of them valid`))
}

function troublesOf(key: string, value: unknown): Verdict[] {
  if (!isPolicyKey(key)) {
    return [
      warning(
        `policy "${key}" is not one of the engine's: nothing reads it`,
        `There are ${policyKeys.join(', ')}.`,
      ),
    ]
  }
  if (key === 'reaction_matrix') {
    const { quarantined } = compileMatrix(value, { version: 0 })
    if (quarantined.length > 0) {
      return quarantined.map(({ pattern_id, path, message }) =>
        broken(
          `pattern "${pattern_id}" is out of service: ${path} ${message}`,
          'Correct it in policy reaction_matrix.',
        ),
      )
    }
  }
  const parsed = parsePolicy(key, value)
  if (parsed.ok) return []
  const problems = parsed.problems.map(({ path, message }) => `${path} ${message}`.trim())
  return [
    broken(
      `policy "${key}" is not valid: ${listed(problems)}`,
      `Correct it, or roll back: see docs/policies.md.`,
    ),
  ]
}

function missing(rows: readonly PolicyRow[]): Verdict[] {
  const there = new Set(rows.map(({ key }) => key))
  return Object.entries(OPTIONAL_EFFECT).flatMap(([key, effect]) =>
    there.has(key)
      ? []
      : [
          warning(
            `there is no policy "${key}": ${effect}`,
            'npm run migrate -- --seed adds the default one.',
          ),
        ],
  )
}
