/** An executor whose side effect can be counted: it writes what it does into a file outside the database. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineExecutor, done, fail, retry } from '../../../executors/define.js'
import { writeLedger } from '../support/ledger.js'

export default defineExecutor({
  kind: 'ledger',
  params: z.object({
    /** How long the work takes, in milliseconds. */
    ms: z.number().default(0),
    /** How long it keeps the event loop to itself. */
    block_ms: z.number().default(0),
    /** Where it kills its own process. */
    dies: z.enum(['before the effect', 'after the effect']).optional(),
    /** On how many attempts it dies or fails. */
    bad_attempts: z.number().default(Number.POSITIVE_INFINITY),
    fails: z.enum(['retry', 'for good']).optional(),
    emits: z.string().optional(),
  }),
  env: ['FAULTS_LEDGER'],
  async run({ params, step, attempt, signal, env, emit, idempotencyKey }) {
    const write = (what: 'start' | 'effect' | 'stopped') =>
      writeLedger(env.FAULTS_LEDGER ?? '', { what, step: step.step_id, attempt, pid: process.pid })
    const bad = attempt <= params.bad_attempts

    write('start')
    if (params.dies === 'before the effect' && bad) process.kill(process.pid, 'SIGKILL')
    for (const end = performance.now() + params.block_ms; performance.now() < end; );
    try {
      if (params.ms > 0) await sleep(params.ms, undefined, { signal })
      signal.throwIfAborted()
    } catch (error) {
      write('stopped')
      throw error
    }
    if (params.fails && bad) {
      write('stopped')
      return params.fails === 'retry' ? retry({ error: 'as ordered', afterSeconds: 0 }) : fail('as ordered')
    }
    write('effect')
    if (params.dies === 'after the effect' && bad) process.kill(process.pid, 'SIGKILL')
    if (params.emits) emit({ type: params.emits, dedupe_key: `${params.emits}:${idempotencyKey}` })
    return done({ attempt })
  },
})
