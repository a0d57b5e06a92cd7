/** An executor that reports an event to the control plane by itself, past the outcome of its step. */
import { z } from 'zod'
import { defineExecutor, done, retry } from '../../../executors/define.js'

export default defineExecutor({
  kind: 'poster',
  params: z.object({ type: z.string() }),
  env: ['FAULTS_API_URL', 'FAULTS_API_KEY'],
  async run({ params, env, idempotencyKey, signal }) {
    const response = await fetch(`${env.FAULTS_API_URL}/api/ops/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${env.FAULTS_API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ type: params.type, dedupe_key: idempotencyKey }),
      signal,
    })
    return response.ok ? done() : retry({ error: `answered ${response.status}` })
  },
})
