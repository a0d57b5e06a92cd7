import { z } from 'zod'
import { defineExecutor, done, fail, retry } from '../../executors/define.js'

export default defineExecutor({
  kind: 'weather',
  params: z.strictObject({ city: z.string().describe('Where.') }),
  env: ['WEATHER_URL', 'WEATHER_TOKEN'],
  async run({ params, env, signal, idempotencyKey, emit, log }) {
    const headers = { authorization: `Bearer ${env.WEATHER_TOKEN}`, 'idempotency-key': idempotencyKey }
    const answer = await fetch(`${env.WEATHER_URL}/${encodeURIComponent(params.city)}`, { headers, signal })
    if (answer.status === 404) return fail(`there is no ${params.city}`)
    if (!answer.ok) return retry({ error: `the weather service answered ${answer.status}`, afterSeconds: 60 })
    const weather = z.object({ storm: z.boolean(), degrees: z.number() }).parse(await answer.json())
    if (weather.storm)
      emit({ type: 'weather:storm', data: { city: params.city }, dedupe_key: `storm:${idempotencyKey}` })
    log.info({ city: params.city, storm: weather.storm }, 'looked outside')
    return done(weather)
  },
})
