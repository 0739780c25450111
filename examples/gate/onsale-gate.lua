-- Asks Onsale's gate whether a request may pass. Sets txn.gate_entry when it may, txn.gate_location (and, when an admission was
-- taken, txn.gate_cookie) when it is to go elsewhere, txn.gate_failed when nobody answers.
local gate = "http://" .. os.getenv("ONSALE") .. "/v1/queues/" .. os.getenv("ONSALE_QUEUE") .. "/gate"
local timeout_ms = 5000
-- Of the browser's headers the gate needs these; others are not passed on.
local passed_on = { "cookie", "onsale-admission", "x-forwarded-for", "x-forwarded-proto" }

core.register_action("onsale_gate", { "http-req" }, function(txn)
    local headers = {}
    local asked = txn.http:req_get_headers()
    for _, name in ipairs(passed_on) do
        if asked[name] then
            headers[name] = {}
            for index = 0, #asked[name] do
                table.insert(headers[name], asked[name][index])
            end
        end
    end
    headers["x-original-uri"] = { txn.sf:pathq() }
    headers["x-original-method"] = { txn.sf:method() }
    local answer = core.httpclient():get({ url = gate, headers = headers, timeout = timeout_ms })
    local function told(name)
        return answer.headers and answer.headers[name] and answer.headers[name][0]
    end
    if answer and answer.status == 200 then
        txn:set_var("txn.gate_entry", told("onsale-entry"))
    elseif answer and answer.status == 401 and told("location") then
        txn:set_var("txn.gate_location", told("location"))
    else
        txn:set_var("txn.gate_failed", 1)
        return
    end
    if told("set-cookie") then
        txn:set_var("txn.gate_cookie", told("set-cookie"))
    end
end, 0)
