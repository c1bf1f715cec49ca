"""The help of the commands that read files: the shapes that they take, with an example each."""

from __future__ import annotations

CHARTS = """Publica listas de éxitos: archivo, zip, gz, carpeta o RUTA=PAÍS.

La forma se reconoce por el encabezado (mayúsculas, separador «,» «;» tabulador y BOM dan igual):

\b
  columnas propias         Song,Artist,Date,Song ID,Streams,Rank
                           colombia.csv, uk.csv.gz, otra.csv=MX
  charts.spotify.com       rank,uri,artist_names,track_name,...,streams
                           regional-co-weekly-2024-01-04.csv (último día)
  spotifycharts.com        Position,"Track Name",Artist,Streams,URL
                           regional-co-daily-2017-01-06.csv
  todas las regiones       title,rank,date,artist,url,region,chart,trend,streams
                           Position,Track Name,Artist,Streams,URL,Date,Region
  Top 200 de cada país     Position,Track Name,Artist,Streams,date,region,spotify_id
  popularidad              spotify_id,name,artists,daily_rank,...,country,
                           snapshot_date,popularity
  Top 50 con popularidad   date,position,song,artist,popularity (spain.csv)

Las semanales van con --params charts y las diarias con --params charts_daily. Sin RUTA, la
carpeta de charts_folders. Una fila que no se entiende rechaza su archivo, salvo con --set
bad_rows=leave_out; si las fechas son el último día de cada semana, --set chart_dates=last.
"""

HISTORY = """Publica historiales de escucha: archivo, zip, gz, carpeta o RUTA=PAÍS.

El país se dice (RUTA=CO) donde las entradas no lo dicen. Se reconocen:

\b
  historial ampliado de Spotify   Streaming_History_Audio_2024_0.json,
                                  endsong_0.json, o en CSV
  datos de cuenta de Spotify      StreamingHistory_music_0.json=CO
  todo lo que envía Spotify       my_spotify_data.zip
  ListenBrainz                    listens/2024/5.jsonl=CO, 5.listens=CO,
                                  respuestas con payload.listens
  Last.fm                         recenttracks-NOMBRE.csv=CO, .json=CO
  respuestas de la Web API        recently_played.json=CO, top50.json=CO

Una escucha de 30 segundos o más, o hasta el final de la canción, es «play»; otra, «skip».
"""

WEBAPI = """Publica lo que enseña la Web API de Spotify: una ronda o, con --live, muchas.

Por cada país de countries, que es el mercado que se pregunta:

\b
  webapi_queries            búsquedas (10 canciones cada una)   search_result
  webapi_new_releases       canciones de los discos nuevos      new_release
  webapi_playlists          listas, como un Top 50 nacional     recommendation
  webapi_listener_country   escuchas recientes de un oyente     play

Las claves van en el entorno: SPOTIFY_CLIENT_ID y SPOTIFY_CLIENT_SECRET, y para las escuchas
SPOTIFY_REFRESH_TOKEN. Lo que Spotify no da a una aplicación en desarrollo se dice una vez y lo
demás sigue. Repetir una ronda en el mismo webapi_interval no publica nada dos veces.

Ejemplo: spotify-mlops ingest webapi --params webapi --set "webapi_queries=[genre:pop]".
Su política (III.14) prohíbe entrenar modelos con este contenido: ver webapi_training_allowed.
"""

INSPECT = """Dice qué es cada archivo y qué daría, sin publicar nada.

Para listas e historiales: cuántos eventos, de cuándo a cuándo, de qué países, y qué filas se
dejarían fuera y por qué.
"""
