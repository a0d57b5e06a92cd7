/** A program that tries to take a data folder, says how that went, and holds it until it is killed. */
import { lockDataDir } from '../../embedded/lock.js'

const [dataDir = ''] = process.argv.slice(2)
await lockDataDir(dataDir).then(
  () => console.log('taken'),
  (error: Error) => console.log(error.message),
)
setInterval(() => undefined, 1000)
