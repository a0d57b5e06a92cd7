// The process of one contender: loads its file and answers the harness's calls over IPC.
//
// A contender's file has a default export (setting) => ({ prepare, fill, drain, watch, pickup, add }); see Calls in
// ../harness/types.ts for what each takes and answers. What it does not offer, it cannot do.
import { pathToFileURL } from 'node:url'

const [file, setting] = process.argv.slice(2)
const url = process.env.BENCH_DATABASE_URL
let contender

process.on('message', async ({ id, method, args }) => {
  const answer = { id, value: null, error: undefined }
  try {
    contender ??= (await import(pathToFileURL(file).href)).default({ url, setting })
    if (!contender[method]) throw new Error(`is not asked to ${method} here`)
    answer.value = (await contender[method](args)) ?? null
  } catch (error) {
    answer.error = explain(error)
  }
  process.send(answer)
})
process.on('disconnect', () => process.exit())

function explain(error) {
  if (error?.code === 'ERR_MODULE_NOT_FOUND')
    return `not installed: ${error.message.split(' imported from')[0]}`
  return error?.message ?? String(error)
}
