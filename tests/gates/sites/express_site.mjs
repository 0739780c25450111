// A shop in Express behind examples/admission/express.mjs.
import express from "express";
import { admitted } from "./express.mjs";

const { ONSALE, ONSALE_QUEUE, ON_ERROR, PORT } = process.env;
const app = express();
app.use(admitted({ server: ONSALE, queue: ONSALE_QUEUE, on_error: ON_ERROR }));
app.use((request, response) => response.json({ shop: true, path: request.originalUrl }));
app.listen(Number(PORT), "127.0.0.1");
