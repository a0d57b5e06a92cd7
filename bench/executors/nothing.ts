import { z } from 'zod'
import { defineExecutor, done } from '../../executors/define.js'

/** What the bench's steps do, for a worker that is started as users start it. */
export default defineExecutor({
  kind: 'nothing',
  params: z.looseObject({}),
  async run() {
    return done({})
  },
})
