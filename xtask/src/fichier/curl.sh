# A client made of curl against the emulator: sh curl.sh API_URL KEY. Ends with an error at the first answer that is not as
# the reference of the API says.
set -eu
api=$1 key=$2 scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
call() { curl -sS -X POST -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d "$2" "$api/$1.cgi"; }
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }
expect() { case $2 in *"$1"*) ;; *) echo "expected $1, not: $2" >&2; exit 1 ;; esac; }

expect 'Content-Type not JSON' "$(curl -sS -X POST -d '{}' "$api/folder/ls.cgi")"
expect 'Not authenticated' "$(curl -sS -X POST -H 'Content-Type: application/json' -d '{}' "$api/folder/ls.cgi")"
folder=$(call folder/mkdir '{"name":"curl","folder_id":0}' | field folder_id)
printf 'Hello world\n' > "$scratch/test.txt"
server=$(call upload/get_upload_server '{}')
node=$(printf %s "$server" | field url) id=$(printf %s "$server" | field id)
place=$(curl -sS -o /dev/null -w '%{redirect_url}' -H "Authorization: Bearer $key" \
    -F "did=$folder" -F "file[]=@$scratch/test.txt" "http://$node/upload.cgi?id=$id")
expect "/end.pl?xid=" "$place"
report=$(curl -sS -H 'JSON: 1' "$place")
expect '0a894ff039da399d5a72116b3665cd952abc8a9ffe37bfae4eae4d5381c5102b' "$report"
link=$(printf %s "$report" | field download)
expect '"filename":"test.txt"' "$(call file/ls "{\"folder_id\":$folder}")"
expect '"filename":"test.txt"' "$(call folder/ls "{\"folder_id\":$folder,\"files\":1}")"
expect '"path":"curl"' "$(call file/info "{\"url\":\"$link\"}")"
token=$(call download/get_token "{\"url\":\"$link\"}" | field url)
expect 'Hello world' "$(curl -sS "$token")"
expect 'world' "$(curl -sS -r 6-10 "$token")"
expect '"renamed":1' "$(call file/rename "{\"urls\":[{\"url\":\"$link\",\"filename\":\"new.txt\"}]}")"
expect '#312' "$(call file/rename "{\"urls\":[{\"url\":\"$link\",\"filename\":\"new.txt\"}]}")"
shared=$(call folder/share "{\"folder_id\":$folder,\"share\":1}" | field url)
expect '"filename":"new.txt"' "$(curl -sS "${api%/v1}/dir/${shared##*/}?json=1")"
expect '"status":"KO"' "$(call folder/rm "{\"folder_id\":$folder}")"
expect '"removed":1' "$(call file/rm "{\"files\":[{\"url\":\"$link\"}]}")"
expect '"status":"OK"' "$(call folder/rm "{\"folder_id\":$folder}")"
