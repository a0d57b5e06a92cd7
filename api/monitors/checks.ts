import { type CheckOutcome, type Engine, OpsError } from '../../engine/index.js'
import { definePhase } from '../phases/phase.js'
import { quarantinedPatterns } from '../trigger.js'

/** How long a beat stays with the checks, in milliseconds: those that are not reached wait for the next round. */
const PATIENCE_MS = 20_000

/** Runs the checks of a round, when one is due; a check that hangs is cut off and costs the others nothing but its time. */
export const checksPhase = definePhase({
  name: 'checks',
  result: 'checkResult',
  /** Checks that were judged, violations found, and checks that broke or were cut off. */
  counts: { run: 0, violated: 0, broken: 0 },
  weight: 20,
  async batch({ engine, now, warn }, counts) {
    const { due, checks, timeout_ms } = await engine.beginChecks()
    if (!due) return false
    const quarantined = await quarantinedPatterns(engine)
    await engine.report('quarantined_patterns', Object.keys(quarantined).length, quarantined)

    const until = now() + PATIENCE_MS
    const run = { timeoutMs: timeout_ms, mayGoOn: () => now() < until }
    const left = await runChecks(engine, checks, run, ({ outcome }) => {
      counts.run += 1
      if (outcome === 'violated') counts.violated += 1
      if (outcome === 'failed' || outcome === 'timed_out') counts.broken += 1
    })
    if (left.length > 0)
      warn({ code: 'OPS_003', message: `no time was left for ${left.length} checks: ${left.join(', ')}` })
    return false
  },
})

/**
 * The names of the checks to run: those that were asked for, or a round's; with `everything` also those that read whole tables.
 *
 * @throws OpsError `OPS_013` where one that was asked for is not in force
 */
export async function wantedChecks(
  engine: Engine,
  asked: readonly string[],
  everything = false,
): Promise<readonly string[]> {
  const known = await engine.listChecks()
  const unknown = asked.find((name) => !known.some((check) => check.name === name))
  if (unknown !== undefined) {
    throw new OpsError('OPS_013', `No check "${unknown}" is in force.`, {
      details: { path: 'checks' },
      hint: 'See ops-loop invariants list, or GET /api/ops/invariants. What policy invariants has under skip is not run.',
    })
  }
  return asked.length > 0 ? asked : known.filter(({ wide }) => everything || !wide).map(({ name }) => name)
}

/**
 * Runs checks in as few calls as it takes: a call ends with the first check that is cut off, and the next goes on with those
 * that were not judged. Answers those that were not reached.
 */
export async function runChecks(
  engine: Engine,
  names: readonly string[],
  run: { timeoutMs: number; everything?: boolean | undefined; mayGoOn: () => boolean },
  onOutcome: (outcome: CheckOutcome) => void,
): Promise<readonly string[]> {
  let left = names
  while (left.length > 0 && run.mayGoOn()) {
    const outcomes = await engine.runChecks(left, { timeoutMs: run.timeoutMs, everything: run.everything })
    for (const outcome of outcomes) onOutcome(outcome)
    const judged = new Set(outcomes.map(({ name }) => name))
    // What was taken out of the policy meanwhile is never judged.
    if (judged.size === 0) return []
    left = left.filter((name) => !judged.has(name))
  }
  return left
}
