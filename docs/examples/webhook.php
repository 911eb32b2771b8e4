<?php
// Receives webhooks; needs PHP 8 and nothing else.
//
//   WEBHOOK_SECRET=… php -S 127.0.0.1:PORT webhook.php
//
// answers 401 to what the secret did not sign and 204 to the rest. Two secrets may stand in
// WEBHOOK_SECRET with a space between while one takes the other's place. With WEBHOOK_CHECK=body
// it checks X-Webhook-Signature instead of webhook-signature.

declare(strict_types=1);

const TOLERANCE = 300; // seconds

/** Tells whether webhook-signature is good: id, time and body are signed. Names of headers are in lower case. */
function verify(string $secret, array $headers, string $body, ?int $now = null): bool
{
    $id = $headers['webhook-id'] ?? '';
    $stamp = $headers['webhook-timestamp'] ?? '';
    if ($id === '' || !preg_match('/^\d{1,12}$/D', $stamp) || abs(($now ?? time()) - (int) $stamp) > TOLERANCE) {
        return false;
    }
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
    $want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$stamp.$body", $key, true));
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $signature) {
        if (hash_equals($want, $signature)) {
            return true;
        }
    }
    return false;
}

/** Tells whether X-Webhook-Signature is good. It knows nothing of time: prefer verify. */
function verify_body(string $secret, array $headers, string $body): bool
{
    return hash_equals('sha256=' . hash_hmac('sha256', $body, $secret), $headers['x-webhook-signature'] ?? '');
}

/** Tells whether an event is new, and remembers it: here as a file, else in the transaction that does the work. */
function is_new(string $id): bool
{
    $folder = sys_get_temp_dir() . '/webhooks-done';
    @mkdir($folder, 0700);
    $file = $folder . '/' . hash('sha256', $id);
    if (@fopen($file, 'x') !== false) {
        return true;
    }
    if (!file_exists($file)) {
        throw new RuntimeException("$file cannot be made"); // answered with 500: the event comes again
    }
    return false;
}

$headers = array_change_key_case(getallheaders());
$body = file_get_contents('php://input');
// Which one is not for the request to say: who recorded one could leave its time away.
$check = getenv('WEBHOOK_CHECK') === 'body' ? 'verify_body' : 'verify';
$good = false;
foreach (array_filter(explode(' ', (string) getenv('WEBHOOK_SECRET'))) as $secret) {
    $good = $good || $check($secret, $headers, $body);
}
if (!$good) {
    http_response_code(401);
    return;
}
if (!isset($headers['webhook-id']) || is_new($headers['webhook-id'])) { // the same event may come again
    error_log(($headers['x-webhook-event'] ?? '') . ' ' . $body);
}
http_response_code(204);
